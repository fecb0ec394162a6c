/** End-to-end suites: real processes, real clients and servers; one at a time. */
export default {
  files: ['packages/*/dist-test/e2e/**/*.e2e.test.js'],
  nodeArguments: ['--enable-source-maps'],
  timeout: '10m',
  concurrency: 1,
  workerThreads: false,
};

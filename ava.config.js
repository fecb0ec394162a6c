/** Unit, property, vector and fixed-seed simulation tests, compiled by `npm run build`. End-to-end suites have their own configs. */
export default {
  files: ['packages/*/dist-test/**/*.test.js', '!packages/*/dist-test/e2e/**'],
  nodeArguments: ['--enable-source-maps'],
  timeout: '60s',
  concurrency: 2,
};

// The suites with real processes, clients and servers; the slowest last.
import { ava } from './quick-suites.mjs';

const e2e = (path, limitSeconds) => ({ name: `e2e: ${path.replace(/^.*\//, '').replace('.e2e.test.js', '')}`, ...ava('ava.e2e.config.js', path), limitSeconds });

/** `npm start -- --exit` as a stranger runs it. */
const demoSuite = { name: 'demo: npm start -- --exit', command: 'npm', args: ['start', '--silent', '--', '--exit'], limitSeconds: 120 };

export const e2eSuites = [
  demoSuite,
  e2e('packages/reference-server/dist-test/e2e/failures.e2e.test.js', 300),
  e2e('packages/reference-server/dist-test/e2e/engine-disk.e2e.test.js', 300),
  e2e('packages/reference-server/dist-test/e2e/engine-limits.e2e.test.js', 240),
  e2e('packages/reference-server/dist-test/e2e/peer-tls.e2e.test.js', 240),
  e2e('packages/reference-server/dist-test/e2e/hostile-peers.e2e.test.js', 240),
  e2e('packages/reference-server/dist-test/e2e/parity.e2e.test.js', 180),
  e2e('packages/backends/dist-test/e2e/s3-ceph.e2e.test.js', 240),
  e2e('packages/reference-server/dist-test/e2e/real-clients.e2e.test.js', 420),
  e2e('packages/reference-server/dist-test/e2e/example-cluster.e2e.test.js', 300),
  e2e('packages/reference-server/dist-test/e2e/large-blobs.e2e.test.js', 420),
];

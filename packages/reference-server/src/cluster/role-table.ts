/** The ports of a cluster as a table for people. */
import type { EmbeddedCluster } from './embedded-cluster.js';

export function formatRoles(cluster: EmbeddedCluster): string {
  const rows = cluster.roles.map(({ name, role }) => [
    name,
    Object.entries(role.ports)
      .map(([label, port]) => `${label} ${cluster.host}:${port}`)
      .join(', '),
  ]);
  const width = Math.max(...rows.map(([name = '']) => name.length));
  return rows.map(([name = '', ports = '']) => `  ${name.padEnd(width)}  ${ports}`).join('\n');
}

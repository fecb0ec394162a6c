/**
 * Which entries of a host list are this machine. Source: spec tracker-agent-ring.md §6.2; unlike Go, addresses are
 * recognised too, so a host never duplicates to itself.
 */
import { hostname, networkInterfaces } from 'node:os';
import type { HostSource } from './host-list.js';

/** `host:port` names of this machine for a port: host name, `localhost` and every interface address. */
export function localAddresses(port: number): ReadonlySet<string> {
  const names = new Set<string>([hostname(), 'localhost']);
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address, family } of addresses ?? []) names.add(family === 'IPv6' ? `[${address}]` : address);
  }
  return new Set([...names].map((name) => `${name}:${port}`));
}

/** The other hosts of a list. */
export function withoutLocal(source: HostSource, local: ReadonlySet<string>): HostSource {
  return { hosts: () => source.hosts().filter((host) => !local.has(host)) };
}

export { ActiveMonitor, type ActiveMonitorOptions } from './active-monitor.js';
export { checkHostPort, HostList, type HostListConfig, type HostListOptions, type HostSource } from './host-list.js';
export { localAddresses, withoutLocal } from './local-hosts.js';
export { HashRing, type OriginRingOptions, type RingMembers } from './origin-ring.js';
export { PassiveHosts, type PassiveHostsOptions } from './passive-hosts.js';

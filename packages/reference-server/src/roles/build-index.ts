/** The build-index role: tag → digest. Wiring only. */
import { mkdirSync } from 'node:fs';
import { createBackendManager } from '@kraken/backends';
import { KrakenError } from '@kraken/core/errors';
import { RetrySchedule } from '@kraken/core/retry';
import { BuildIndexHostClient, createBuildIndexHandler, localAddresses, OriginClusterClient, TagService, withoutLocal } from '@kraken/registry-http';
import type { BuildIndexConfig } from '../config/component-keys.js';
import { openPort } from './listen.js';
import { warnAtStart, withLifetime, type RoleContext, type RunningRole } from './role.js';
import { httpClientOf, tlsServerOptions } from './tls.js';
import { openActive } from './upstreams.js';

export interface BuildIndexFlags {
  readonly port: number;
}

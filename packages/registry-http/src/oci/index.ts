export { createBackupRegistry, type BackupRegistry } from './backup-registry.js';
export { createRegistryHandler } from './registry-handler.js';
export type { RegistryHandlerOptions, RegistryLimits, RegistryWriter } from './registry-options.js';
export { createOriginWriter, type OriginWriterOptions } from './registry-writer.js';

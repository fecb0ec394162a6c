export * from './http/index.js';
export * from './oci/index.js';

export { createAgentClient, type AgentClient } from './agent-client.js';
export {
  createAgentHandler,
  type AgentHandlerOptions,
  type BlacklistEntry,
  type PreloadRequest,
  type ReadinessCheck,
} from './agent-handler.js';
export { createDockerPreload, type DockerPreloadOptions } from './docker-preload.js';

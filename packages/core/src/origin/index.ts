export {
  copiesNeeded,
  DEFAULT_WRITE_BACK_STAGGER_MS,
  mayAcknowledge,
  replicaPlan,
  type ReplicaPlan,
} from './durability.js';
export { refreshStatus, type RefreshOutcome } from './refresh.js';

export { MachineLoop, type StepObserver } from './loop.js';
export type { Machine, MachineHost, Millis } from './machine.js';
export {
  Recorder,
  RECORDING_VERSION,
  recordingEnd,
  type EffectsSummary,
  type RecordingEnd,
  type RecordingHead,
  type RecordingSink,
  type StepRecorder,
} from './recording.js';
export { parseRecordingHead, Replay, type StepDifference } from './replay.js';
export { valueFromJson, valueToJson } from './value-json.js';

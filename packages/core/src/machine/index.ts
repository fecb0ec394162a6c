export { MachineLoop, type StepObserver } from './loop.js';
export type { Machine, MachineHost, Millis } from './machine.js';

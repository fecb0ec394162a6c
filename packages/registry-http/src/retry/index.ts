export { sleep, systemClock, type CancelTimer, type Clock } from './clock.js';
export { TaskQueue, type AddOptions, type TaskPayload, type TaskQueueOptions, type TaskView } from './task-queue.js';

// An objection of a checker as data; every other error is a fault of the program and goes on.
import { CheckFailed } from '../../../packages/core/dist/sim/index.js';

/** @returns what `run` returns, under `name`, or `failure` with what a checker objected to, and when */
export function failing(name, run) {
  try {
    return { [name]: run() };
  } catch (error) {
    if (!(error instanceof CheckFailed)) throw error;
    return { failure: error.message, failedAtMs: error.at };
  }
}

/** What the process is told by signals: to stop, to look at its certificates. */

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
export function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const stop = (): void => {
      if (asked) process.exit(130);
      asked = true;
      resolve();
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
  });
}

/** Call `run` at each SIGHUP, for as long as the process lives. */
export function onHangUp(run: () => void): void {
  process.on('SIGHUP', run);
}

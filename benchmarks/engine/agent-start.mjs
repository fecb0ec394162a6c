// The agent of the reference server: how soon it answers, and what it needs while it does nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from '../lib/agent.mjs';

const IDLE_AFTER_MS = 2000;

/** @returns {Promise<{ readyMs: number, startCpuSec: number, idleRssMiB: number }>} */
export async function agentStart(payloads) {
  const dir = payloads.temporary();
  const agent = await Agent.start(dir);
  try {
    const { cpuSec: startCpuSec } = agent.usage();
    await sleep(IDLE_AFTER_MS);
    return { readyMs: agent.readyMs, startCpuSec, idleRssMiB: agent.usage().rssMiB };
  } finally {
    await agent.stop();
    payloads.remove(dir);
  }
}

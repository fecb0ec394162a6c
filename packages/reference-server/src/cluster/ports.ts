/** Ports for a cluster in one process: the preferred ones where they are free. */
import { createServer } from 'node:net';

/**
 * @param preferred name → port
 * @param host address that will be bound
 * @returns name → the preferred port when it is free, else another free one
 */
export async function choosePorts<N extends string>(
  preferred: Readonly<Record<N, number>>,
  host: string,
): Promise<Record<N, number>> {
  const chosen = {} as Record<N, number>;
  const held: (() => Promise<void>)[] = [];
  try {
    for (const name of Object.keys(preferred) as N[]) {
      const probe = (await probePort(preferred[name], host)) ?? (await probePort(0, host));
      if (probe === undefined) throw new Error(`no free port on ${host}`);
      chosen[name] = probe.port;
      held.push(() => probe.release());
    }
  } finally {
    await Promise.all(held.map((release) => release()));
  }
  return chosen;
}

async function probePort(port: number, host: string): Promise<{ port: number; release(): Promise<void> } | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen({ port, host }, () => {
      const address = server.address();
      const bound = typeof address === 'object' && address !== null ? address.port : port;
      resolve({ port: bound, release: () => new Promise((done) => void server.close(() => done())) });
    });
  });
}

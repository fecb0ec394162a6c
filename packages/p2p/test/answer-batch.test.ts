import { PassThrough } from 'node:stream';
import type { IncomingMessage, ServerResponse } from 'node:http';
import test from 'ava';
import { silentLogger } from '@kraken/core/ports';
import { AnswerBatch } from '../dist/tracker/answer-batch.js';

const exchange = (answer: () => void): { req: IncomingMessage; res: ServerResponse } => ({
  req: Object.assign(new PassThrough(), { complete: true }) as unknown as IncomingMessage,
  res: Object.assign(new PassThrough(), { writeHead: answer }) as unknown as ServerResponse,
});

test('an answer that cannot be sent any more costs its connection, not the other answers', async (t) => {
  const errors: unknown[] = [];
  const batch = new AnswerBatch({ ...silentLogger, error: (details) => errors.push(details) });
  let sent = 0;
  const answered = Array.from({ length: 20 }, (_, n) =>
    exchange(() => {
      if (n % 8 === 1) throw new Error('headers were sent already');
      sent++;
    }),
  );
  for (const { req, res } of answered) batch.add(req, res, 'x');
  t.is(sent, 14, 'a full batch goes at once');
  await new Promise(setImmediate);
  t.is(sent, 17);
  t.is(errors.length, 3);
  t.deepEqual(
    answered.map(({ res }) => res.destroyed),
    answered.map((_, n) => n % 8 === 1),
  );
});

/**
 * A peer that does harm, as a process of its own: says to the tracker that it has everything, and then
 *
 *   forge    sends other bytes with the right CRC-32 for the first piece that each connection asks for
 *   silent   never answers a request
 *   garbage  answers a request with bytes that are no frame
 *   quit     closes the connection after every piece
 *
 * Speaks the wire with the codec of core and nothing else of ours. Prints a line of JSON for each forged piece that went out.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import { request } from 'undici';
import { Bitfield, parseMetaInfo, parsePeerId, pieceLengthAt, type MetaInfo } from '@kraken/core/content';
import { encodeAnnounceRequest } from '@kraken/core/tracker';
import { decodeHandshake, decodeMessage, encodeHandshake, encodePayloadHeader, FrameDecoder } from '@kraken/core/wire';
import { testBlob } from './blobs.js';

export type Harm = 'forge' | 'silent' | 'garbage' | 'quit';

export interface HostilePeerOptions {
  readonly harm: Harm;
  /** `host:port`. */
  readonly tracker: string;
  readonly namespace: string;
  readonly seed: string;
  readonly length: number;
}

/** What it prints. */
export interface ForgedLine {
  readonly forged: number;
  /** Peer id. */
  readonly to: string;
}

const ANNOUNCE_MS = 1000;
/** The generator of CRC-32, highest power first: bits that change no sum when they are flipped in a row. */
const GENERATOR = 0x104c11db7n;

/** Other bytes with the same CRC-32. */
export function forgedPiece(piece: Uint8Array): Buffer {
  const bytes = Buffer.from(piece);
  for (let bit = 0; bit <= 32; bit++) {
    if (((GENERATOR >> BigInt(32 - bit)) & 1n) === 0n) continue;
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
  }
  if (crc32(bytes) !== crc32(piece) || bytes.equals(piece)) throw new Error('the forgery shows');
  return bytes;
}

async function main(options: HostilePeerOptions): Promise<void> {
  const { harm, tracker, namespace, seed, length } = options;
  const blob = testBlob(seed, length);
  const parts: Buffer[] = [];
  for await (const chunk of blob.open()) parts.push(Buffer.from(chunk));
  const content = Buffer.concat(parts);
  const url = `http://${tracker}/namespace/${encodeURIComponent(namespace)}/blobs/${blob.digest}/metainfo`;
  const metainfo = parseMetaInfo(await (await request(url)).body.text());
  const peerId = parsePeerId(createHash('sha1').update(`hostile ${harm}`).digest('hex'));

  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    serve(socket, { harm, content, metainfo, peerId });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const { digest, infoHash } = metainfo;
  const announce = async (): Promise<void> => {
    const peer = { peerId, ip: '127.0.0.1', port, origin: false, complete: true };
    const response = await request(`http://${tracker}/announce/${infoHash}`, {
      method: 'POST',
      body: encodeAnnounceRequest({ digest, infoHash, peer }),
    });
    await response.body.dump();
  };
  await announce();
  process.stdout.write(`${JSON.stringify({ ready: peerId })}\n`);
  setInterval(() => void announce().catch(() => undefined), ANNOUNCE_MS);
}

function serve(
  socket: Socket,
  self: { harm: Harm; content: Buffer; metainfo: MetaInfo; peerId: ReturnType<typeof parsePeerId> },
): void {
  const { harm, content, metainfo, peerId } = self;
  const decoder = new FrameDecoder();
  let to = '';
  let answered = 0;
  const answer = (piece: number): void => {
    const start = piece * metainfo.pieceLength;
    const length = pieceLengthAt(metainfo, piece);
    const good = content.subarray(start, start + length);
    if (harm === 'silent') return;
    if (harm === 'garbage') {
      socket.write(randomBytes(4096));
      return;
    }
    const forges = harm === 'forge' && answered === 0;
    answered++;
    socket.write(encodePayloadHeader({ piece, length }));
    socket.write(forges ? forgedPiece(good) : good, () => {
      if (forges) process.stdout.write(`${JSON.stringify({ forged: piece, to } satisfies ForgedLine)}\n`);
    });
    if (harm === 'quit') socket.end();
  };
  socket.on('data', (data) => {
    for (let at = 0; at < data.length;) {
      const step = decoder.next(data, at);
      at += step.consumed;
      if (step.body === undefined) continue;
      if (to === '') {
        to = decodeHandshake(step.body).peerId;
        const { digest, infoHash } = metainfo;
        const bitfield = Bitfield.full(metainfo.pieceSums.length);
        const own = { peerId, digest, infoHash, namespace: '', bitfield, neighbours: [], version: 'kraken-ts/1' };
        socket.write(encodeHandshake(own));
        continue;
      }
      const message = decodeMessage(step.body);
      if (message.type === 'piece-request') answer(message.piece);
    }
  });
}

const [, , text] = process.argv;
// Imported for its types and the forgery, it does nothing.
if (text !== undefined && import.meta.url === new URL(process.argv[1] ?? '', 'file:').href) {
  await main(JSON.parse(text) as HostilePeerOptions);
}

/** Messages of the peer wire as numbers, for the way from one shard to another. */
import type { PeerMessage } from '../../wire/index.js';

const TYPES = ['piece-request', 'announce-piece', 'cancel-piece', 'complete', 'error', 'ignored'] as const;
const FIXED_CELLS = 4;

/** Text is for logs; its characters follow the fixed cells. */
const textOf = (message: PeerMessage): string => {
  if (message.type === 'error') return message.text;
  return message.type === 'ignored' ? message.says : '';
};

/** Announced again and again: one value a piece. */
const ANNOUNCED: (PeerMessage | undefined)[] = [];

/** How many cells a message takes. */
export const messageCells = (message: PeerMessage): number => FIXED_CELLS + textOf(message).length;

/** Write a message at `start`. */
export function writeMessage(cells: Float64Array, start: number, message: PeerMessage): void {
  cells[start] = TYPES.indexOf(message.type);
  cells[start + 1] = 'piece' in message ? message.piece : 0;
  if (message.type === 'piece-request') {
    cells[start + 2] = message.offset;
    cells[start + 3] = message.length;
  } else cells[start + 2] = message.type === 'error' ? message.code : 0;
  const text = textOf(message);
  for (let i = 0; i < text.length; i++) cells[start + FIXED_CELLS + i] = text.charCodeAt(i);
}

/** Read the message between two cells. */
export function messageFrom(cells: Float64Array, start: number, end: number): PeerMessage {
  const type = TYPES[cells[start] as number];
  const piece = cells[start + 1] as number;
  switch (type) {
    case 'piece-request':
      return { type, piece, offset: cells[start + 2] as number, length: cells[start + 3] as number };
    case 'announce-piece':
      return (ANNOUNCED[piece] ??= { type, piece });
    case 'cancel-piece':
      return { type, piece };
    case 'complete':
      return { type };
    case 'error':
      return { type, piece, code: cells[start + 2] as number, text: textFrom(cells, start, end) };
    case 'ignored':
      return { type, says: textFrom(cells, start, end) };
    default:
      throw new RangeError(`a message expected a type, got ${cells[start]}`);
  }
}

const textFrom = (cells: Float64Array, start: number, end: number): string =>
  String.fromCharCode(...cells.subarray(start + FIXED_CELLS, end));

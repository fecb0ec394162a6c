/** Reads a recorded `.http` file: named exchanges of one request and one response. */
import { readFileSync } from 'node:fs';

export interface Exchange {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
  };
}

export function readExchanges(file: string): readonly Exchange[] {
  const text = readFileSync(new URL(`../test/fixtures/captures/${file}`, import.meta.url), 'utf8');
  return text
    .split(/^### /m)
    .filter((part) => part.includes('\n<<<\n'))
    .map((part) => {
      const [title = '', ...rest] = part.split('\n');
      const [sent = '', received = ''] = rest
        .join('\n')
        .replace(/^>>> ?\n/, '')
        .split('\n<<<\n');
      const request = parseMessage(sent);
      const response = parseMessage(received);
      const [method = '', path = ''] = request.first.split(' ');
      return {
        name: title.replace(/\s+\[\d+\]$/, ''),
        method,
        path,
        headers: request.headers,
        body: request.body,
        response: {
          status: Number(response.first.split(' ')[1]),
          headers: response.headers,
          body: method === 'HEAD' ? '' : response.body,
        },
      };
    });
}

function parseMessage(text: string): { first: string; headers: Record<string, string>; body: string } {
  const [head = '', ...rest] = `${text}\n`.split('\n\n');
  const [first = '', ...lines] = head.split('\n');
  const headers = Object.fromEntries(
    lines
      .filter((line) => line.includes(': '))
      .map((line) => [line.slice(0, line.indexOf(': ')).toLowerCase(), line.slice(line.indexOf(': ') + 2)]),
  );
  const length = Number(headers['content-length'] ?? 0);
  return { first, headers, body: Buffer.from(rest.join('\n\n')).subarray(0, length).toString('utf8') };
}

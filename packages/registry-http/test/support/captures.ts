/** HTTP exchanges recorded from a running Go cluster, as data. */
import { readFileSync } from 'node:fs';

export interface CapturedExchange {
  readonly title: string;
  readonly port: string;
  readonly method: string;
  readonly path: string;
  readonly requestHeaders: Readonly<Record<string, string>>;
  readonly requestBody: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function headersOf(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return headers;
}

/** A message of the file: start line, headers, body (cut to its length: files add newlines and remarks). */
function message(text: string): { start: string; headers: Record<string, string>; body: string } {
  const trimmed = text.replace(/^\n+/, '');
  const cut = trimmed.indexOf('\n\n');
  const [start = '', ...lines] = (cut < 0 ? trimmed : trimmed.slice(0, cut)).split('\n').filter((line) => line !== '');
  const headers = headersOf(lines);
  const body = cut < 0 ? '' : trimmed.slice(cut + 2);
  const length = Number(headers['content-length'] ?? 0);
  return { start, headers, body: Buffer.from(body).subarray(0, length).toString() };
}

export function readCapture(name: string): readonly CapturedExchange[] {
  const text = readFileSync(new URL(`../../test/fixtures/captures/${name}`, import.meta.url), 'utf8');
  const exchanges: CapturedExchange[] = [];
  const pattern = /(?:^### (.+?)  \[(\d+)\]\n)?^>>>[^\n]*\n([^]*?)^<<<[^\n]*\n([^]*?)(?=^###|^>>>|$(?![^]))/gm;
  for (const [, title = '', port = '', requestText = '', responseText = ''] of text.matchAll(pattern)) {
    const request = message(requestText);
    const response = message(responseText);
    const [method = '', path = ''] = request.start.split(' ');
    exchanges.push({
      title,
      port,
      method,
      path,
      requestHeaders: request.headers,
      requestBody: request.body,
      status: Number(response.start.split(' ')[1]),
      headers: response.headers,
      body: method === 'HEAD' ? '' : response.body,
    });
  }
  return exchanges;
}

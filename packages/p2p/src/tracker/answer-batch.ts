/**
 * Answers that go out together, at the latest at the end of the event loop's turn. Owns them until then.
 *
 * A turn reads what many clients have sent. Answered one by one, each write stops to wake somebody up; that costs more than
 * to make the answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '@kraken/core/ports';
import { sendText } from './http-text.js';

/** Answers that wait for others. Measured with 64 clients: 8 to 32 are much alike; fewer wake more, and with all clients and server wait in turns. */
const ANSWERS_MAX = 16;

interface Answer {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly text: string;
}

export class AnswerBatch {
  readonly #logger: Logger;
  #answers: Answer[] = [];
  #isDue = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** A whole response of status 200. */
  add(req: IncomingMessage, res: ServerResponse, text: string): void {
    this.#answers.push({ req, res, text });
    if (this.#answers.length === ANSWERS_MAX) this.#send();
    else if (!this.#isDue) {
      this.#isDue = true;
      setImmediate(this.#turnEnds);
    }
  }

  readonly #turnEnds = (): void => {
    this.#isDue = false;
    this.#send();
  };

  #send(): void {
    const answers = this.#answers;
    this.#answers = [];
    for (const { req, res, text } of answers) {
      try {
        sendText(req, res, 200, text);
      } catch (error) {
        // Perhaps somebody else has answered: no reason to lose the others.
        this.#logger.error({ err: error }, 'an announce could not be answered');
        res.destroy();
      }
    }
  }
}

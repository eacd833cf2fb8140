// One typed request/response channel over a widget model's custom messages.
import type { Reply, Request } from './messages';

/** What the channel needs of a widget model. */
export interface Wire {
  send(content: unknown): void;
  on(event: 'msg:custom', listener: (content: unknown) => void): void;
  off(event: 'msg:custom', listener: (content: unknown) => void): void;
}

interface Waiting {
  resolve(reply: Reply): void;
  reject(reason: Error): void;
  timer: ReturnType<typeof setTimeout>;
}

/** Ask, and get a promise of the reply; a reply "failed" and a silent kernel reject it. */
export class Channel {
  private readonly waiting = new Map<number, Waiting>();
  private last = 0;

  constructor(
    private readonly wire: Wire,
    private readonly patience = 20_000
  ) {
    wire.on('msg:custom', this.receive);
  }

  ask(request: Request): Promise<Reply> {
    const number = ++this.last;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(number);
        reject(new Error('the kernel does not answer (is a cell running?)'));
      }, this.patience);
      this.waiting.set(number, { resolve, reject, timer });
      this.wire.send({ number, request });
    });
  }

  dispose(): void {
    this.wire.off('msg:custom', this.receive);
    for (const { timer } of this.waiting.values()) clearTimeout(timer);
    this.waiting.clear();
  }

  private readonly receive = (content: unknown): void => {
    const { number, reply } = content as { number?: number; reply?: Reply };
    const entry = number === undefined ? undefined : this.waiting.get(number);
    if (!entry || !reply || number === undefined) return;
    this.waiting.delete(number);
    clearTimeout(entry.timer);
    if (reply.kind === 'failed') entry.reject(new Error(reply.message));
    else entry.resolve(reply);
  };
}

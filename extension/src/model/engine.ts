// Graphviz in a web worker; where a page forbids workers, in the page itself. One for all views of a page.
import { workerSource } from './layoutWorker.generated';
import type { Engine } from './layout';

type Answer = { number: number; text?: string; error?: string };

class WorkerEngine implements Engine {
  private readonly waiting = new Map<number, { resolve(text: string): void; reject(reason: Error): void }>();
  private last = 0;

  constructor(private readonly worker: Worker) {
    worker.onmessage = (event: MessageEvent<Answer>) => {
      const { number, text, error } = event.data;
      const entry = this.waiting.get(number);
      this.waiting.delete(number);
      if (text !== undefined) entry?.resolve(text);
      else entry?.reject(new Error(`the layout did not succeed: ${error}`));
    };
  }

  plain(dot: string): Promise<string> {
    const number = ++this.last;
    return new Promise((resolve, reject) => {
      this.waiting.set(number, { resolve, reject });
      this.worker.postMessage({ number, dot });
    });
  }
}

class PageEngine implements Engine {
  private module: Promise<{ plain(dot: string): Promise<string> }> | undefined;

  constructor(private readonly url: string) {}

  async plain(dot: string): Promise<string> {
    this.module ??= import(/* webpackIgnore: true */ this.url);
    return (await this.module).plain(dot);
  }
}

let shared: Engine | undefined;

export function sharedEngine(): Engine {
  if (!shared) {
    const url = URL.createObjectURL(new Blob([workerSource], { type: 'text/javascript' }));
    try {
      shared = new WorkerEngine(new Worker(url, { type: 'module', name: 'cntk-lab-layout' }));
    } catch {
      shared = new PageEngine(url); // a page whose security policy allows no workers
    }
  }
  return shared;
}

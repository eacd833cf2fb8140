// Runs in a web worker (or, where a page forbids workers, as a module): DOT text in, Graphviz' plain text out.
import { Graphviz } from '@hpcc-js/wasm-graphviz';

let engine: Promise<Graphviz> | undefined;

export async function plain(dot: string): Promise<string> {
  engine ??= Graphviz.load();
  return (await engine).layout(dot, 'plain', 'dot');
}

interface Scope {
  document?: unknown;
  onmessage: ((event: { data: { number: number; dot: string } }) => void) | null;
  postMessage(message: unknown): void;
}

const scope = globalThis as unknown as Scope;
if (scope.document === undefined) {
  scope.onmessage = event => {
    const { number, dot } = event.data;
    plain(dot).then(
      text => scope.postMessage({ number, text }),
      (error: unknown) => scope.postMessage({ number, error: String(error) })
    );
  };
  void plain('digraph { a }'); // the engine starts while the page still reads its data
}

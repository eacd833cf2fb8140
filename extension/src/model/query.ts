// The search language: words, `field=value` and `field>number`, joined by & | ! and brackets. No DOM.
//
//   dense               name, operator or uid holds "dense"
//   op=Convolution      field is exactly that (case does not matter); * stands for anything: op=Conv*
//   params>1e6          params, rank, size: numbers; =, !=, <, <=, >, >=
//   op=Times & !name=z* a lone space between terms is &
//   attr.axis=-1        an attribute
import type { Graph, GraphNode } from './graph';

export type Predicate = (node: GraphNode) => boolean;

export class QueryError extends Error {}

type Token = { text: string; quoted: boolean; at: number };

const SYMBOLS = ['!=', '<=', '>=', '&', '|', '!', '(', ')', '=', '<', '>'];
const COMPARISONS = new Set(['=', '!=', '<', '<=', '>', '>=']);
const NUMBERS: Record<string, (node: GraphNode) => number> = {
  params: node => node.parameters,
  rank: node => node.shape.length,
  size: node => node.shape.reduce((a, b) => a * b, 1),
  count: node => node.count ?? 1
};
const TEXTS: Record<string, (node: GraphNode) => string> = {
  op: node => node.op,
  name: node => node.name,
  uid: node => node.id,
  kind: node => node.kind,
  dtype: node => node.dtype,
  shape: node => node.shape.join('x'),
  axis: node => node.axes.join(' '),
  source: node => node.source ?? '',
  change: node => node.change ?? ''
};

function tokens(query: string): Token[] {
  const found: Token[] = [];
  let at = 0;
  while (at < query.length) {
    const c = query[at]!;
    const symbol = SYMBOLS.find(s => query.startsWith(s, at));
    if (/\s/.test(c)) at++;
    else if (symbol) {
      found.push({ text: symbol, quoted: false, at });
      at += symbol.length;
    } else if (c === '"') {
      const end = query.indexOf('"', at + 1);
      if (end < 0) throw new QueryError('a quote " is not closed');
      found.push({ text: query.slice(at + 1, end), quoted: true, at });
      at = end + 1;
    } else {
      let end = at;
      while (end < query.length && !/[\s"&|!()=<>]/.test(query[end]!)) end++;
      found.push({ text: query.slice(at, end), quoted: false, at });
      at = end;
    }
  }
  return found;
}

/** A query as a test of nodes; an empty query finds nothing. Raises QueryError in words for the user. */
export function parseQuery(query: string): Predicate {
  const list = tokens(query);
  let next = 0;
  const is = (text: string) => list[next] !== undefined && !list[next]!.quoted && list[next]!.text === text;
  const isSymbol = () => list[next] !== undefined && !list[next]!.quoted && SYMBOLS.includes(list[next]!.text);

  const or = (): Predicate => {
    let left = and();
    while (is('|')) {
      next++;
      const [a, b] = [left, and()];
      left = node => a(node) || b(node);
    }
    return left;
  };
  const and = (): Predicate => {
    let left = not();
    while (next < list.length && !is('|') && !is(')')) {
      if (is('&')) next++;
      const [a, b] = [left, not()];
      left = node => a(node) && b(node);
    }
    return left;
  };
  const not = (): Predicate => {
    if (is('!')) {
      next++;
      const inner = not();
      return node => !inner(node);
    }
    if (is('(')) {
      next++;
      const inner = or();
      if (!is(')')) throw new QueryError('a bracket ( is not closed');
      next++;
      return inner;
    }
    return term();
  };
  const term = (): Predicate => {
    const word = list[next];
    if (!word || isSymbol()) throw new QueryError(word ? `nothing stands before ${word.text}` : 'the query ends too early');
    next++;
    const sign = list[next];
    if (word.quoted || !sign || sign.quoted || !COMPARISONS.has(sign.text)) return anywhere(word.text);
    next++;
    const value = list[next];
    if (!value || isSymbol()) throw new QueryError(`nothing stands after ${word.text}${sign.text}`);
    next++;
    return compare(word.text.toLowerCase(), sign.text, value.text);
  };

  if (!list.length) return () => false;
  const result = or();
  if (next < list.length) throw new QueryError(`${list[next]!.text} is not expected here`);
  return result;
}

function anywhere(word: string): Predicate {
  const wanted = word.toLowerCase();
  return node => [node.op, node.name, node.id].some(text => text.toLowerCase().includes(wanted));
}

function compare(field: string, sign: string, value: string): Predicate {
  const number = Object.hasOwn(NUMBERS, field) ? NUMBERS[field]! : undefined;
  if (number) {
    const limit = Number(value);
    if (Number.isNaN(limit)) throw new QueryError(`${field} is compared with a number, not with ${value}`);
    return node => holds(number(node) - limit, sign);
  }
  if (field.startsWith('attr.')) return attribute(field.slice(5), sign, value);
  const text = Object.hasOwn(TEXTS, field) ? TEXTS[field]! : undefined;
  if (!text)
    throw new QueryError(`no field ${field}; there are ${[...Object.keys(TEXTS), ...Object.keys(NUMBERS), 'attr.…'].join(', ')}`);
  if (sign !== '=' && sign !== '!=') throw new QueryError(`${field} is text: use = or !=`);
  const same = pattern(value);
  return sign === '=' ? node => same(text(node)) : node => !same(text(node));
}

function attribute(name: string, sign: string, value: string): Predicate {
  const same = pattern(value);
  return node => {
    const key = Object.keys(node.attributes).find(k => k.toLowerCase() === name);
    if (key === undefined) return false;
    const held = node.attributes[key];
    if (typeof held === 'number' && !Number.isNaN(Number(value))) return holds(held - Number(value), sign);
    return sign === '!=' ? !same(String(held)) : sign === '=' && same(String(held));
  };
}

function holds(difference: number, sign: string): boolean {
  if (sign === '=') return difference === 0;
  if (sign === '!=') return difference !== 0;
  return sign.startsWith('<') ? difference < 0 || (sign === '<=' && difference === 0) : difference > 0 || (sign === '>=' && difference === 0);
}

/** Equality without case, where * stands for anything; no regular expression is made of what the user types. */
function pattern(value: string): (text: string) => boolean {
  const parts = value.toLowerCase().split('*');
  return text => {
    const low = text.toLowerCase();
    if (parts.length === 1) return low === parts[0];
    if (!low.startsWith(parts[0]!) || !low.endsWith(parts.at(-1)!)) return false;
    let at = parts[0]!.length;
    for (const part of parts.slice(1, -1)) {
      const found = low.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= low.length - parts.at(-1)!.length;
  };
}

/** Uids of the nodes a query finds, in the graph's order. */
export function search(graph: Graph, query: string): string[] {
  const found = parseQuery(query);
  return graph.snapshot.nodes.filter(found).map(node => node.id);
}

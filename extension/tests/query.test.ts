import assert from 'node:assert/strict';
import test from 'node:test';
import { Graph } from '../src/model/graph';
import { parseQuery, QueryError, search } from '../src/model/query';
import { blocks, node } from './samples';

const found = (query: string) => search(new Graph(blocks()), query);

test('words are looked for in names, operators and uids', () => {
  assert.deepEqual(found('times'), ['a1']);
  assert.deepEqual(found('a'), ['A', 'W', 'a1', 'a2', 'y']);
  assert.deepEqual(found(''), []);
});

test('fields are compared', () => {
  assert.deepEqual(found('op=times'), ['a1']);
  assert.deepEqual(found('op=S*'), ['y']);
  assert.deepEqual(found('params>=6 & kind!=parameter'), ['A', 'a1']);
  assert.deepEqual(found('rank=2'), ['W']);
  assert.deepEqual(found('shape=3x2'), ['W']);
  assert.deepEqual(found('attr.output_rank=1'), ['a1']);
  assert.deepEqual(found('attr.nothing=1'), []);
});

test('terms are joined by & | ! and brackets; a space is &', () => {
  assert.deepEqual(found('op=Times | op=ReLU'), ['a1', 'a2']);
  assert.deepEqual(found('kind=function !op=ReLU'), ['a1', 'y']);
  assert.deepEqual(found('(op=Times | op=Softmax) & name=y'), ['y']);
  assert.deepEqual(found('op=Times | op=Softmax & name=y'), ['a1', 'y']);
});

test('a quoted word may hold anything', () => {
  assert.equal(parseQuery('"a & b"')(node('n', { name: 'x a & b' })), true);
  assert.equal(parseQuery('name="a(b)*"')(node('n', { name: 'A(B)CD' })), true);
});

test('numbers are written as people write them', () => {
  assert.equal(parseQuery('params>1e6')(node('n', { parameters: 2_000_000 })), true);
  assert.equal(parseQuery('params<1e6')(node('n', { parameters: 2_000_000 })), false);
});

test('mistakes are answered in words', () => {
  const wrong: [string, RegExp][] = [
    ['op=', /nothing stands after op=/],
    ['=3', /nothing stands before =/],
    ['colour=red', /no field colour; there are op, name/],
    ['params>many', /compared with a number, not with many/],
    ['op>Times', /op is text/],
    ['(a', /bracket/],
    ['a)', /\) is not expected here/],
    ['"a', /quote/],
    ['a &', /ends too early/],
    ['constructor=1', /no field constructor/]
  ];
  for (const [query, words] of wrong)
    assert.throws(() => parseQuery(query), (e: Error) => e instanceof QueryError && words.test(e.message), query);
});

test('stars do not run away', () => {
  const start = performance.now();
  parseQuery(`name=${'*a'.repeat(30)}b`)(node('n', { name: 'a'.repeat(5000) }));
  assert.ok(performance.now() - start < 200);
});

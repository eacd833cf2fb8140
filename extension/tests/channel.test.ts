import assert from 'node:assert/strict';
import test from 'node:test';
import { Channel, type Wire } from '../src/protocol/channel';

class FakeWire implements Wire {
  sent: { number: number }[] = [];
  listener: ((content: unknown) => void) | null = null;
  send(content: unknown): void {
    this.sent.push(content as { number: number });
  }
  on(_: 'msg:custom', listener: (content: unknown) => void): void {
    this.listener = listener;
  }
  off(): void {
    this.listener = null;
  }
}

test('replies find their requests, in any order', async () => {
  const wire = new FakeWire();
  const channel = new Channel(wire);
  const asked = ['a', 'b'].map(uid => channel.ask({ kind: 'inspect', uid }));
  for (const i of [1, 0]) wire.listener!({ number: wire.sent[i]!.number, reply: { kind: 'inspected', uid: 'ab'[i], arrays: [] } });
  const replies = await Promise.all(asked);
  assert.deepEqual(replies.map(reply => reply.kind === 'inspected' && reply.uid), ['a', 'b']);
  channel.dispose();
  assert.equal(wire.listener, null);
});

test('a failure is raised in the words of the kernel', async () => {
  const wire = new FakeWire();
  const asked = new Channel(wire).ask({ kind: 'inspect', uid: 'a' });
  wire.listener!({ number: 1, reply: { kind: 'failed', message: 'no such node' } });
  await assert.rejects(asked, /no such node/);
});

test('a silent kernel is named', async () => {
  await assert.rejects(new Channel(new FakeWire(), 5).ask({ kind: 'inspect', uid: 'a' }), /does not answer/);
});

test('messages of others are passed over', () => {
  const wire = new FakeWire();
  new Channel(wire);
  for (const content of [{}, { number: 7 }, { number: 7, reply: { kind: 'failed', message: '' } }]) wire.listener!(content);
  assert.deepEqual(wire.sent, []);
});

import { expect, test, vi } from 'vitest';
import { Emitter } from '../src/emitter.ts';

interface Events {
  said: [word: string, loudness: number];
}

test('listeners hear events until they unsubscribe', () => {
  const emitter = new Emitter<Events>();
  const heard: string[] = [];
  const off = emitter.on('said', (word, loudness) => heard.push(`${word} ${loudness}`));
  emitter.emit('said', 'ha', 1);
  off();
  emitter.emit('said', 'ho', 2);
  expect(heard).toEqual(['ha 1']);
});

test('once is once', () => {
  const emitter = new Emitter<Events>();
  const heard = vi.fn();
  emitter.once('said', heard);
  emitter.emit('said', 'ha', 1);
  emitter.emit('said', 'ha', 1);
  expect(heard).toHaveBeenCalledTimes(1);
});

test('a listener that unsubscribes another one, or throws, does not disturb', () => {
  const uncaught = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation(() => {});
  const emitter = new Emitter<Events>();
  const heard = vi.fn();
  emitter.on('said', () => {
    throw new Error('a fault of the page');
  });
  emitter.on('said', heard);
  emitter.emit('said', 'ha', 1);
  expect(heard).toHaveBeenCalled();
  expect(uncaught).toHaveBeenCalled();
  uncaught.mockRestore();
});

import { describe, expect, test } from 'vitest';
import { atOrPast, Reveal, SlotTable } from '../src/slots.ts';

test.each([
  [0, 0, true],
  [1, 0, true],
  [0, 1, false],
  [9000, 8999, true],
  [5, 0xffff_fff0, true],
  [0xffff_fff0, 5, false],
  [0x7fff_ffff, 0, true],
  [0x8000_0000, 0, false],
])('timestamp %i is at or past %i: %s', (timestamp, first, expected) => {
  expect(atOrPast(timestamp, first)).toBe(expected);
});

describe('a picture is revealed', () => {
  test('by the first frame at or past the first timestamp', () => {
    const reveal = new Reveal();
    reveal.expect(9000);
    reveal.frame(6000);
    expect(reveal.shown).toBe(false);
    reveal.frame(9000);
    expect(reveal.shown).toBe(true);
  });

  test('when that frame was skipped, by a later one', () => {
    const reveal = new Reveal();
    reveal.expect(9000);
    reveal.frame(12_000);
    expect(reveal.shown).toBe(true);
  });

  test('across the end of the numbers', () => {
    const reveal = new Reveal();
    reveal.expect(0xffff_fff0);
    reveal.frame(0xffff_ff00);
    expect(reveal.shown).toBe(false);
    reveal.frame(100);
    expect(reveal.shown).toBe(true);
  });

  test('at once when the frame came before the news', () => {
    const reveal = new Reveal();
    reveal.expect(undefined);
    reveal.frame(9000);
    expect(reveal.shown).toBe(false);
    reveal.expect(9000);
    expect(reveal.shown).toBe(true);
  });

  test('not by old frames that came before the news', () => {
    const reveal = new Reveal();
    reveal.frame(6000);
    reveal.expect(9000);
    expect(reveal.shown).toBe(false);
  });

  test('at once when the source goes on where it was held', () => {
    const reveal = new Reveal();
    reveal.expect(9000);
    reveal.frame(9000);
    reveal.hold();
    expect(reveal.picture).toBe('held');
    reveal.expect(9000);
    expect(reveal.picture).toBe('shown');
  });

  test('without timestamps by the first frame after the news', () => {
    const reveal = new Reveal();
    reveal.frame(undefined);
    reveal.expect(9000);
    expect(reveal.shown).toBe(false);
    reveal.frame(undefined);
    expect(reveal.shown).toBe(true);
  });

  test('anew after each new source', () => {
    const reveal = new Reveal();
    reveal.expect(9000);
    reveal.frame(9000);
    reveal.expect(9000);
    expect(reveal.shown).toBe(true);
    reveal.expect(undefined);
    expect(reveal.shown).toBe(false);
    reveal.expect(18_000);
    reveal.frame(15_000);
    expect(reveal.shown).toBe(false);
    reveal.frame(18_000);
    expect(reveal.shown).toBe(true);
  });
});

describe('the table of slots', () => {
  test('a new source takes the slot from the old one', () => {
    const table = new SlotTable();
    table.apply([{ mid: '5', track: 1, participant: 1, first_timestamp: 7 }]);
    const slot = { mid: '5', track: 2, participant: 2 };
    expect(table.apply([slot])).toEqual([
      { track: 1, slot: undefined },
      { track: 2, slot },
    ]);
    expect(table.of(1)).toBeUndefined();
    expect(table.of(2)).toBe(slot);
  });

  test('news of the same source takes nothing away', () => {
    const table = new SlotTable();
    table.apply([{ mid: '5', track: 1 }]);
    const slot = { mid: '5', track: 1, first_timestamp: 7 };
    expect(table.apply([slot])).toEqual([{ track: 1, slot }]);
  });

  test('a track that moves ends up in its new slot, in one message or in two', () => {
    for (const together of [true, false]) {
      const table = new SlotTable();
      table.apply([{ mid: '5', track: 1 }]);
      const [to, freed] = [{ mid: '6', track: 1 }, { mid: '5' }];
      const changes = together ? table.apply([to, freed]) : [...table.apply([to]), ...table.apply([freed])];
      expect(changes.at(-1)).toEqual({ track: 1, slot: to });
    }
  });

  test('an emptied slot frees its track', () => {
    const table = new SlotTable();
    table.apply([{ mid: '5', track: 1 }]);
    expect(table.apply([{ mid: '5' }])).toEqual([{ track: 1, slot: undefined }]);
    expect(table.apply([{ mid: '5' }])).toEqual([]);
  });
});

export type Language = 'en' | 'zh-CN';

/** The language for a wish (`?lang=`), else the first of the browser's that we have, else English. */
export function chooseLanguage(wish: string | undefined, browser: readonly string[]): Language {
  for (const tag of [wish, ...browser]) {
    if (tag === undefined) continue;
    if (/^zh\b/i.test(tag)) return 'zh-CN';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

/** Fills `{key}` places in. */
export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, key: string) => String(values[key] ?? whole));
}

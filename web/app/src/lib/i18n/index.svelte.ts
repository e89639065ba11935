import { en, type Dictionary, type Key } from './en.ts';
import { chooseLanguage, fill, type Language } from './language.ts';

/** Rebinding makes every text on the page follow. */
let dictionary = $state.raw<Dictionary>(en);
let language = $state<Language>('en');

/** The text for a key, in the page's language. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return fill(dictionary[key], values);
}

export function currentLanguage(): Language {
  return language;
}

/** Chooses the language before the page shows; loads only what is needed. */
export async function setUpLanguage(wish: string | undefined): Promise<void> {
  language = chooseLanguage(wish, navigator.languages);
  if (language === 'zh-CN') dictionary = (await import('./zh-CN.ts')).zhCN;
  document.documentElement.lang = language;
}

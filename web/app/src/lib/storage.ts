/** What the page remembers. A browser that forbids storage just forgets. */
const NAME = 'ninefold.name';

export function rememberedName(): string {
  try {
    return localStorage.getItem(NAME) ?? '';
  } catch {
    return '';
  }
}

export function rememberName(name: string): void {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // Forgetting is all right.
  }
}

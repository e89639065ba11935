/** What moderators do in the list of people. */
import { until } from './until.mjs';

/** Chooses an action in somebody's menu, which is opened if it is not. */
export async function act(moderator, name, action) {
  const isOpen = () => moderator.page.evaluate((name) => document.querySelector(`[aria-label="More for ${name}"]`)?.getAttribute('aria-expanded') === 'true', name);
  if (!(await isOpen())) await moderator.press(`More for ${name}`);
  await until('the menu', isOpen);
  const menu = `ul[aria-label="What you can do with ${name}"]`;
  await moderator.page.locator(`${menu} ::-p-text(${action})`).click();
}

/** Says yes to the question that an action asks. */
export async function confirm(moderator, action) {
  await moderator.page.locator(`dialog[open] button[value=yes]::-p-text(${action})`).click();
}

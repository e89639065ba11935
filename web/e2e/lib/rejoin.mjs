/** How soon somebody who comes back sees the others. */

/** Of somebody who has left: milliseconds from the click on “Rejoin” to the first decoded frame under this label. Devices are ready at once; all else is counted. */
export async function rejoin(person, label) {
  await person.find('button', 'Rejoin').wait();
  return person.page.evaluate(clickAndWatch, label);
}

/** In the page. */
function clickAndWatch(label) {
  const start = performance.now();
  return new Promise((resolve) => {
    new MutationObserver((_, observer) => {
      const video = document.querySelector(`[role=group][aria-label="${label}"] video`);
      if (!video) return;
      observer.disconnect();
      video.requestVideoFrameCallback((now) => resolve(now - start));
    }).observe(document, { subtree: true, childList: true });
    [...document.querySelectorAll('button')].find(({ textContent }) => textContent === 'Rejoin').click();
  });
}

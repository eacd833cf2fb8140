// Building DOM from tags, attributes and text nodes; never from strings of HTML.

type Attributes = Record<string, string | number | boolean | undefined>;
type Child = Node | string;

const SVG = 'http://www.w3.org/2000/svg';

function fill<E extends Element>(element: E, attributes: Attributes, children: readonly Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children);
  return element;
}

export function html<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children);
}

export function svg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): SVGElementTagNameMap[K] {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Differs between the copies of this code in a page: each bundle has one. */
const copy = crypto.getRandomValues(new Uint32Array(2)).reduce((text, n) => text + n.toString(36), '');
let ids = 0;

/** An id that no other element of the page has. */
export const ownId = (what: string): string => `cntk-${what}-${copy}-${ids++}`;

/** A button with words for eyes and for screen readers. */
export function button(label: string, title: string, act: () => void, signal: AbortSignal): HTMLButtonElement {
  const element = html('button', { type: 'button', title, 'aria-label': title }, label);
  element.addEventListener('click', act, { signal });
  return element;
}

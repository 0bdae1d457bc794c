/** The last step of everything that becomes HTML: nothing gets into the page but what is listed here. */

import createPurify from "dompurify";

const purify = createPurify(window);

const TAGS = [
  "a", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "input", "kbd", "li",
  "mark", "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
];
const ATTRIBUTES = ["align", "checked", "data-lang", "data-math", "disabled", "href", "start", "title", "type"];

purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
  if (node.nodeName === "INPUT" && node.getAttribute("type") !== "checkbox") node.remove();
});

export function cleanMarkdown(html: string): DocumentFragment {
  return purify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?|mailto|tel):/i,
    ADD_URI_SAFE_ATTR: ATTRIBUTES.filter((name) => name !== "href"),
    RETURN_DOM_FRAGMENT: true,
  });
}

export function cleanCode(html: string): DocumentFragment {
  return purify.sanitize(html, { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true });
}

export function cleanMath(html: string): DocumentFragment {
  return purify.sanitize(html, {
    USE_PROFILES: { mathMl: true },
    ADD_TAGS: ["semantics"],
    FORBID_ATTR: ["href", "style", "class", "id"],
    RETURN_DOM_FRAGMENT: true,
  });
}

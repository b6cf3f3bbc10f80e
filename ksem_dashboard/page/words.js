// The page's own texts in the browser's language, or the one that was chosen by the link at the end of the page.
import { GERMAN } from "./german.js";

const KEPT = "ksem-language";
const remembered = () => { try { return localStorage.getItem(KEPT); } catch { return null; } };

export const language = (remembered() ?? navigator.language ?? "en").toLowerCase().startsWith("de") ? "de" : "en";
const words = language === "de" ? GERMAN : {};

// t`Last values ${age} ago.` looks up "Last values {0} ago."; what is not there stays English.
export function t(parts, ...values) {
  const key = parts.reduce((text, part, index) => `${text}{${index - 1}}${part}`);
  return (words[key] ?? key).replace(/\{(\d+)\}/g, (_, index) => values[index]);
}

// Numbers as the language writes them.
export const decimal = (value, digits) => {
  const text = value.toFixed(digits);
  return language === "de" ? text.replace(".", ",") : text;
};

// What stands in the page's HTML: texts and names for screen readers.
export function translatePage() {
  document.documentElement.lang = language;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, text = node.textContent.trim();
    if (words[text]) node.textContent = node.textContent.replace(text, words[text]);
  }
  for (const element of document.querySelectorAll("[aria-label]")) {
    const label = element.getAttribute("aria-label");
    element.setAttribute("aria-label", words[label] ?? label);
  }
}

export function switchLanguage() {
  try { localStorage.setItem(KEPT, language === "de" ? "en" : "de"); } catch { return; }
  location.reload();
}

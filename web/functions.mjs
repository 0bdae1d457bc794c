// Tells every function of src/ that is too long: more than the given number of lines of code, or of markup. What
// stands in a function within counts for both; an outermost element is markup from its first line to its last.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript";

const most = Number(process.argv[2]);
const root = import.meta.dirname;

for (const name of readdirSync(join(root, "src"), { recursive: true })) {
  if (/\.tsx?$/.test(name)) check(join(root, "src", name));
}

function check(path) {
  const source = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
  const lineOf = (position) => source.getLineAndCharacterOfPosition(position).line;
  const lines = (node) => lineOf(node.end) - lineOf(node.getStart()) + 1;
  const visit = (node) => {
    if (ts.isFunctionLike(node) && node.body) {
      const markup = markupIn(node.body, lines);
      const counted = { code: lines(node) - markup, markup };
      for (const [kind, count] of Object.entries(counted)) {
        if (count <= most) continue;
        console.log(`${relative(root, path)}:${lineOf(node.getStart()) + 1}: ${nameOf(node)} has ${count} lines of ${kind}, more than ${most}`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}

function markupIn(node, lines) {
  if (ts.isJsxElement(node) || ts.isJsxFragment(node) || ts.isJsxSelfClosingElement(node)) return lines(node);
  let count = 0;
  ts.forEachChild(node, (child) => {
    count += markupIn(child, lines);
  });
  return count;
}

function nameOf(node) {
  return node.name?.getText() ?? node.parent?.name?.getText?.() ?? "a function";
}

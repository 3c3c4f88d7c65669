// The official TypeScript SDK's client, unmodified, driven over pipes: `node typescript_sdk.mjs URL SDK_DIRECTORY`.
// First it prints what it negotiated; then it reads one command a line and prints one answer a line, all JSON
// (see test_clients.Client).
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";

const [url, directory] = process.argv.slice(2);
const require = createRequire(join(directory, "node_modules", "."));
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { McpError } = require("@modelcontextprotocol/sdk/types.js");

const say = (value) => console.log(JSON.stringify(value));

function obey(client, command) {
  return command.do === "list"
    ? client.listTools()
    : client.callTool({ name: command.name, arguments: command.arguments });
}

const transport = new StreamableHTTPClientTransport(new URL(url));
const client = new Client({ name: "test", version: "0" });
await client.connect(transport);
say({ protocol: transport.protocolVersion });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    say(await obey(client, JSON.parse(line)));
  } catch (error) {
    if (!(error instanceof McpError)) throw error;
    say({ error: { code: error.code, message: error.message } });
  }
}
await client.close();

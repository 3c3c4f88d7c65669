// The official TypeScript SDK's client, unmodified, driven over pipes: `node typescript_sdk.mjs SERVER SDK_DIRECTORY`.
// SERVER is a URL, or the command line of a server on stdio as a JSON array.
// First it prints what it negotiated; then it reads one command a line and prints one answer a line, all JSON
// (see test_clients.Client).
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";

const [server, directory] = process.argv.slice(2);
const require = createRequire(join(directory, "node_modules", "."));
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
const { McpError } = require("@modelcontextprotocol/sdk/types.js");

const say = (value) => console.log(JSON.stringify(value));

function obey(client, command) {
  return command.do === "list"
    ? client.listTools()
    : client.callTool({ name: command.name, arguments: command.arguments });
}

function connection() {
  if (!server.startsWith("[")) return new StreamableHTTPClientTransport(new URL(server));
  const [command, ...args] = JSON.parse(server);
  return new StdioClientTransport({ command, args, env: { PYTHONPATH: process.env.MCPD_TREE ?? "" } });
}

const transport = connection();
let protocol;
// The SDK tells a transport what was negotiated if it has this method; that of stdio has none.
const told = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (version) => {
  protocol = version;
  told?.(version);
};
const client = new Client({ name: "test", version: "0" });
await client.connect(transport);
say({ protocol });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    say(await obey(client, JSON.parse(line)));
  } catch (error) {
    if (!(error instanceof McpError)) throw error;
    say({ error: { code: error.code, message: error.message } });
  }
}
await client.close();

// The client of the official TypeScript SDK 1.x, driven as driver.mjs says.
import { accept, serve, wanted } from "./driver.mjs";

const { require, url, command, args, elicit } = wanted();
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
const { WebSocketClientTransport } = require("@modelcontextprotocol/sdk/client/websocket.js");
const { ElicitRequestSchema, McpError } = require("@modelcontextprotocol/sdk/types.js");

const client = new Client({ name: "test", version: "0" }, { capabilities: elicit ? { elicitation: {} } : {} });
if (elicit) client.setRequestHandler(ElicitRequestSchema, accept);
const OverUrl = url?.protocol === "ws:" ? WebSocketClientTransport : StreamableHTTPClientTransport;
await client.connect(url ? new OverUrl(url) : new StdioClientTransport({ command, args }));
await serve(client, McpError);

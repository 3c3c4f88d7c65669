// The client of the official TypeScript SDK 2.x, driven as driver.mjs says; MODE is how it negotiates, if not by default.
import { accept, serve, wanted } from "./driver.mjs";

const { require, url, command, args, mode, elicit } = wanted();
const { Client, ProtocolError, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

const options = { capabilities: elicit ? { elicitation: {} } : {} };
if (mode) options.versionNegotiation = { mode };
const client = new Client({ name: "test", version: "0" }, options);
if (elicit) client.setRequestHandler("elicitation/create", accept);
await client.connect(url ? new StreamableHTTPClientTransport(url) : new StdioClientTransport({ command, args }));
await serve(client, ProtocolError);

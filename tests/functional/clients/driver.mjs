// What the scripts that drive a TypeScript client share; the counterpart of driver.py.
import { existsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";

// The command line: PACKAGE_DIRECTORY SERVER [MODE] [--elicit], SERVER a URL or a command as an array in JSON.
export function wanted() {
  const [directory, server, ...rest] = process.argv.slice(2);
  const [command, ...args] = server.startsWith("[") ? JSON.parse(server) : [];
  return {
    require: createRequire(join(directory, "node_modules", ".")),
    url: command ? undefined : new URL(server),
    command,
    args,
    mode: rest.find((word) => !word.startsWith("--")),
    elicit: rest.includes("--elicit"),
  };
}

const calls = {
  "tools/list": (client) => client.listTools(),
  "tools/call": (client, params) => client.callTool(params),
  "resources/list": (client) => client.listResources(),
  "resources/read": (client, params) => client.readResource(params),
  "prompts/list": (client) => client.listPrompts(),
  "prompts/get": (client, params) => client.getPrompt(params),
};

// Carry out what comes in until there is no more; ProtocolError is the SDK's for an answer that is an error.
export async function serve(client, ProtocolError) {
  console.log("{}");
  for await (const line of createInterface({ input: process.stdin })) {
    const { method, params } = JSON.parse(line);
    try {
      console.log(JSON.stringify(await calls[method](client, params)));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      console.log(JSON.stringify({ error: { code: error.code, message: error.message } }));
    }
  }
  await client.close();
}

const simple = { boolean: true, integer: 1, number: 1.5 };
const answer = (field) => field.enum?.[0] ?? simple[field.type] ?? "yes";

// Fill in the form that an elicitation asks for, as an agreeable user would; see driver.py for one who takes his time.
export async function accept({ params }) {
  const place = process.env.MCPD_TEST_USER;
  if (place) {
    writeFileSync(`${place}.asked`, "");
    while (!existsSync(place)) await new Promise((done) => setTimeout(done, 20));
  }
  const fields = Object.entries(params.requestedSchema.properties);
  return { action: "accept", content: Object.fromEntries(fields.map(([name, field]) => [name, answer(field)])) };
}

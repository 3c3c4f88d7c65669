"""A plug-in with the tools, resources and prompts that the official conformance suite calls by their names.

``@modelcontextprotocol/conformance`` 0.2.0-alpha.12 prescribes names, texts and keys. It is loaded as any file is.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mcpd.plugins.api import (
    Argument,
    AsyncTool,
    Audio,
    Block,
    Call,
    Content,
    Context,
    Elicited,
    Embedded,
    FunctionPrompt,
    Image,
    InvalidParams,
    Message,
    NoArguments,
    Outcome,
    Plugin,
    Reading,
    Resource,
    ResourceText,
    Root,
    Sampled,
    Template,
    Text,
    ToolFailed,
    asks,
    confirm,
    json_content,
)

Function = Callable[[Context, Any], Awaitable[Any]]
Schema = dict[str, Any]

STEP_S = 0.05
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAV = base64.b64decode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==")

TOOLS: list[AsyncTool] = []


def tool(
    name: str, description: str, arguments: type[msgspec.Struct] | Schema = NoArguments
) -> Callable[[Function], Function]:
    """Make the function behind it the tool *name*."""

    def made(function: Function) -> Function:
        title = name.replace("_", " ").capitalize()
        TOOLS.append(AsyncTool(name=name, title=title, description=description, arguments=arguments, function=function))
        return function

    return made


def form(message: str, *required: str, **properties: Schema) -> asks.Ask:
    """Ask for *properties*, text if there are none but their *required* names."""
    properties = {key: {"type": "string"} for key in required} | properties
    return asks.form(message, {"type": "object", "properties": properties, "required": list(required)})


def sampling(text: str) -> asks.Ask:
    """Have the model answer *text*."""
    return asks.sampling([{"role": "user", "content": {"type": "text", "text": text}}], 100)


async def elicit(context: Context, key: str, question: asks.Ask) -> Elicited:
    """Return what a person says to the one *question*."""
    answer = (await context.ask({key: question}))[key]
    assert isinstance(answer, Elicited)
    return answer


def told(answer: Elicited) -> str:
    """Return *answer* in words."""
    return f"action={answer.action}, content={msgspec.json.encode(answer.content or {}).decode()}"


# Content


@tool("test_simple_text", "Answer with text.")
async def simple_text(_context: Context, _: NoArguments) -> str:
    return "This is a simple text response for testing."


@tool("test_image_content", "Answer with a picture.")
async def image_content(_context: Context, _: NoArguments) -> Block:
    return Image(PNG, "image/png")


@tool("test_audio_content", "Answer with a sound.")
async def audio_content(_context: Context, _: NoArguments) -> Block:
    return Audio(WAV, "audio/wav")


@tool("test_embedded_resource", "Answer with a resource.")
async def embedded_resource(_context: Context, _: NoArguments) -> Block:
    return Embedded(ResourceText("test://embedded-resource", "This is an embedded resource content.", "text/plain"))


@tool("test_multiple_content_types", "Answer with text, a picture and a resource.")
async def multiple_content_types(_context: Context, _: NoArguments) -> list[Block]:
    held = ResourceText("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
    return [Text("Multiple content types test:"), Image(PNG, "image/png"), Embedded(held)]


@tool("test_error_handling", "Fail.")
async def error_handling(_context: Context, _: NoArguments) -> str:
    raise ToolFailed("This tool intentionally returns an error for testing")


JSON_SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@tool("json_schema_2020_12_tool", "Take arguments that only JSON Schema 2020-12 describes.", JSON_SCHEMA)
async def json_schema(_context: Context, arguments: Schema) -> str:
    return f"JSON Schema 2020-12 tool called with: {msgspec.json.encode(arguments).decode()}"


class Region(msgspec.Struct, frozen=True):
    region: Annotated[str, Meta(description="Where.", extra_json_schema={"x-mcp-header": "Region"})]


@tool("test_x_mcp_header", "Say a region that a header repeats.", Region)
async def x_mcp_header(_context: Context, arguments: Region) -> str:
    return arguments.region


# While a call runs


@tool("test_tool_with_logging", "Log while it runs.")
async def tool_with_logging(context: Context, _: NoArguments) -> str:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        context.log("info", said)
        await asyncio.sleep(STEP_S)
    return "Tool with logging executed successfully"


@tool("test_logging_tool", "Log once.")
async def logging_tool(context: Context, _: NoArguments) -> str:
    context.log("info", "logged once")
    return "Logged."


@tool("test_tool_with_progress", "Tell progress while it runs.")
async def tool_with_progress(context: Context, _: NoArguments) -> str:
    for done in (0, 50, 100):
        context.progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(STEP_S)
    return "Tool with progress executed successfully"


@tool("test_reconnection", "Close the stream before the result is there.")
async def reconnection(context: Context, _: NoArguments) -> str:
    context.detach(retry_ms=500)
    await asyncio.sleep(2 * STEP_S)
    return "Reconnection test completed successfully. If you received this, the client properly reconnected."


# Questions


class Prompted(msgspec.Struct, frozen=True):
    prompt: str


class Asked(msgspec.Struct, frozen=True):
    message: str


@tool("test_sampling", "Ask the client's model.", Prompted)
async def ask_model(context: Context, arguments: Prompted) -> str:
    answer = (await context.ask({"answer": sampling(arguments.prompt)}))["answer"]
    assert isinstance(answer, Sampled)
    return f"LLM response: {answer.text}"


@tool("test_elicitation", "Ask a person.", Asked)
async def ask_person(context: Context, arguments: Asked) -> str:
    properties: Schema = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    answer = await elicit(context, "answer", form(arguments.message, "username", "email", **properties))
    return f"User response: {told(answer)}"


DEFAULTS: Schema = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}


@tool("test_elicitation_sep1034_defaults", "Ask with defaults of every type.")
async def elicitation_defaults(context: Context, _: NoArguments) -> str:
    answer = await elicit(context, "answer", form("Please review and update the form fields", **DEFAULTS))
    return f"Elicitation completed: {told(answer)}"


TITLED: list[Schema] = [{"const": f"value{n}", "title": f"Title {n}"} for n in (1, 2, 3)]
ENUMS: Schema = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": TITLED},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
}


@tool("test_elicitation_sep1330_enums", "Ask to choose, in every way to write choices.")
async def elicitation_enums(context: Context, _: NoArguments) -> str:
    answer = await elicit(context, "answer", form("Please choose", **ENUMS))
    return f"Elicitation completed: {told(answer)}"


@tool("test_missing_capability", "Need a client that lends its model.")
async def missing_capability(context: Context, _: NoArguments) -> str:
    context.require({"sampling": {}})
    return "The client declares sampling."


@tool("test_streaming_elicitation", "Ask a person, after something was told.")
async def streaming_elicitation(context: Context, _: NoArguments) -> str:
    context.progress(1, 2)
    return f"User response: {told(await elicit(context, 'answer', form('Anything to say?', 'said')))}"


# Questions in rounds (2026-07-28)

NAME = form("What is your name?", "name")
CAPITAL = sampling("What is the capital of France?")
KNOWN_AS = "test_input_required_result_"


def named(answer: Elicited) -> str:
    """Return the name that a person gave."""
    return str((answer.content or {}).get("name", answer.action))


@tool(KNOWN_AS + "elicitation", "Ask for a name, and greet.")
async def round_elicitation(context: Context, _: NoArguments) -> str:
    return f"Hello, {named(await elicit(context, 'user_name', NAME))}!"


@tool(KNOWN_AS + "sampling", "Ask the model for a capital.")
async def round_sampling(context: Context, _: NoArguments) -> str:
    answer = (await context.ask({"capital_question": CAPITAL}))["capital_question"]
    assert isinstance(answer, Sampled)
    return f"The model says: {answer.text}"


@tool(KNOWN_AS + "list_roots", "Ask for the client's roots.")
async def round_roots(context: Context, _: NoArguments) -> str:
    return _roots((await context.ask({"client_roots": asks.roots()}))["client_roots"])


def _roots(answer: asks.Answer) -> str:
    assert isinstance(answer, tuple)
    return "Roots: " + ", ".join(root.uri for root in answer if isinstance(root, Root))


@tool(KNOWN_AS + "request_state", "Ask, with a state.")
async def round_state(context: Context, _: NoArguments) -> str:
    answer = await elicit(context, "confirm", form("Confirm to go on", "ok", ok={"type": "boolean"}))
    return f"state-ok: {told(answer)}"


@tool(KNOWN_AS + "tampered_state", "Ask, with a state that must not be changed.")
async def round_tampered(context: Context, _: NoArguments) -> str:
    answer = await elicit(context, "confirm", form("Confirm to go on", "ok", ok={"type": "boolean"}))
    return f"The state was unchanged: {told(answer)}"


@tool(KNOWN_AS + "multiple_inputs", "Ask a person, the model and for roots at once.")
async def round_multiple(context: Context, _: NoArguments) -> str:
    questions = {"user_name": NAME, "greeting": sampling("Generate a greeting"), "client_roots": asks.roots()}
    answers = await context.ask(questions)
    name, greeting = answers["user_name"], answers["greeting"]
    assert isinstance(name, Elicited)
    assert isinstance(greeting, Sampled)
    return f"{named(name)}: {greeting.text}. {_roots(answers['client_roots'])}"


@tool(KNOWN_AS + "multi_round", "Ask twice, one after the other.")
async def round_multi(context: Context, _: NoArguments) -> str:
    name = named(await elicit(context, "step1", form("Step 1: What is your name?", "name")))
    colour = await elicit(context, "step2", form("Step 2: What is your favourite colour?", "color"))
    return f"{name} likes {(colour.content or {}).get('color')}."


@tool(KNOWN_AS + "capabilities", "Ask for all that the client can answer.")
async def round_capabilities(context: Context, _: NoArguments) -> str:
    questions = {"user_name": NAME, "capital_question": CAPITAL, "client_roots": asks.roots()}
    can = {key: question for key, question in questions.items() if context.declares(question.needs)}
    return f"Answered: {', '.join(await context.ask(can)) or 'nothing'}"


# Lists that change


@tool("test_trigger_tool_change", "Say that the list of tools has changed.")
async def trigger_tool_change(context: Context, _: NoArguments) -> str:
    await context.store(_changed("tools.changed"))
    return "The list of tools has changed."


@tool("test_trigger_prompt_change", "Say that the list of prompts has changed.")
async def trigger_prompt_change(context: Context, _: NoArguments) -> str:
    await context.store(_changed("prompts.changed"))
    return "The list of prompts has changed."


def _changed(topic: str) -> Callable[[Call], None]:
    return lambda call: call.event(topic, None, {})


# Tasks


class Name(msgspec.Struct, frozen=True):
    name: str


class Work(msgspec.Struct, frozen=True):
    seconds: Annotated[float, Meta(ge=0, le=3600)]
    label: str = "work"


class File(msgspec.Struct, frozen=True):
    filename: str


@tool("greet", "Greet.", Name)
async def greet(_context: Context, arguments: Name) -> str:
    return f"Hello, {arguments.name}!"


@tool("slow_compute", "Take some seconds.", Work)
async def slow_compute(context: Context, arguments: Work) -> str:
    if arguments.seconds:
        await context.as_task()
    await asyncio.sleep(arguments.seconds)
    return f"{arguments.label} took {arguments.seconds:g} s."


@tool("failing_job", "Fail after a second.")
async def failing_job(context: Context, _: NoArguments) -> Outcome:
    await context.as_task(required=True)
    await asyncio.sleep(1)
    return Outcome([Text("This job always fails.")], is_error=True)


@tool("protocol_error_job", "Fail with an error of the protocol.")
async def protocol_error_job(context: Context, _: NoArguments) -> str:
    await context.as_task()
    await asyncio.sleep(STEP_S)
    raise InvalidParams("this job ends with an error of the protocol")


@tool("confirm_delete", "Delete nothing, once that was confirmed.", File)
async def confirm_delete(context: Context, arguments: File) -> str:
    await context.as_task(required=True)
    if await confirm(context, "confirm", f"Delete {arguments.filename}?"):
        return f"Deleted {arguments.filename}."
    return f"Kept {arguments.filename}."


@tool("multi_input", "Ask two things at once.")
async def multi_input(context: Context, _: NoArguments) -> str:
    await context.as_task(required=True)
    answers = await context.ask({"first": NAME, "second": form("And the second name?", "name")})
    given = [named(answer) for answer in answers.values() if isinstance(answer, Elicited)]
    return f"Names: {', '.join(given)}"


@tool("test_tool_with_task", "Ask for a name, then go on as a task.")
async def tool_with_task(context: Context, _: NoArguments) -> str:
    name = named(await elicit(context, "user_name", NAME))
    await context.as_task(required=True)
    await asyncio.sleep(STEP_S)
    return f"Hello, {name}, from a task!"


# Resources


def _static(content: Content) -> Callable[[Reading], Content]:
    return lambda _reading: content


def _member(_reading: Reading, _uri: str, value: str) -> Content:
    return json_content({"id": value, "templateTest": True, "data": f"Data for ID: {value}"})


STATIC_TEXT = Content("text/plain", "This is the content of the static text resource.")
WATCHED = Content("text/plain", "Watched resource content.")

RESOURCES = [
    Resource("test://static-text", "static-text", "Static text", "Text.", "text/plain", _static(STATIC_TEXT)),
    Resource(
        "test://static-binary", "static-binary", "Static binary", "A picture.", "image/png",
        _static(Content("image/png", PNG)),
    ),
    Resource(
        "test://watched-resource", "watched-resource", "Watched", "One to subscribe to.", "text/plain",
        _static(WATCHED), watched=True,
    ),
]  # fmt: skip
TEMPLATES = [
    Template(
        "test://template/", "id", "template", "Template", "A resource for each id.", "application/json", _member,
        suffix="/data",
    )
]  # fmt: skip


# Prompts


async def simple_prompt(_context: Context, _values: Mapping[str, str]) -> str:
    return "This is a simple prompt for testing."


async def prompt_with_arguments(_context: Context, values: Mapping[str, str]) -> str:
    return f"Prompt with arguments: arg1='{values['arg1']}', arg2='{values['arg2']}'"


async def prompt_with_embedded_resource(_context: Context, values: Mapping[str, str]) -> list[Message]:
    held = ResourceText(values["resourceUri"], "Embedded resource content for testing.", "text/plain")
    return [Message(Embedded(held)), Message(Text("Please process the embedded resource above."))]


async def prompt_with_image(_context: Context, _values: Mapping[str, str]) -> list[Message]:
    return [Message(Image(PNG, "image/png")), Message(Text("Please analyze the image above."))]


async def prompt_that_asks(context: Context, _values: Mapping[str, str]) -> str:
    answer = await elicit(context, "user_context", form("What is the context?", "context"))
    return f"Use this context: {(answer.content or {}).get('context')}"


PROMPTS = [
    FunctionPrompt(name="test_simple_prompt", description="Without arguments.", function=simple_prompt),
    FunctionPrompt(
        name="test_prompt_with_arguments",
        description="With two arguments.",
        arguments=(Argument("arg1", required=True), Argument("arg2", required=True)),
        function=prompt_with_arguments,
    ),
    FunctionPrompt(
        name="test_prompt_with_embedded_resource",
        description="With a resource in it.",
        arguments=(Argument("resourceUri", required=True),),
        function=prompt_with_embedded_resource,
    ),
    FunctionPrompt(name="test_prompt_with_image", description="With a picture in it.", function=prompt_with_image),
    FunctionPrompt(name=KNOWN_AS + "prompt", description="Asks for a context.", function=prompt_that_asks),
]

PLUGIN = Plugin(tools=TOOLS, prompts=PROMPTS, resources=RESOURCES, templates=TEMPLATES)

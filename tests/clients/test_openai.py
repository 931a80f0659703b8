"""OpenAI's own client, unchanged but for its URL."""

import json
import unittest

import jsonschema
import openai

from endpoint import Endpoint

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
            "required": ["place", "days"],
            "additionalProperties": False,
        },
    },
}
THING = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "count": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "count"],
    "additionalProperties": False,
}
STORY = [{"role": "user", "content": "A story about a lost letter."}]


class OpenAI(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.endpoint = Endpoint()
        cls.client = openai.OpenAI(base_url=cls.endpoint.url, api_key="none", max_retries=0, timeout=60)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.endpoint.close()

    def chat(self, **more):
        return self.client.chat.completions.create(**{"model": "demo", "messages": STORY, "max_tokens": 24, "temperature": 0, **more})

    def test_chat(self):
        answer = self.chat()
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 24)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + 24)

    def test_a_stream_says_what_a_whole_answer_says(self):
        whole = self.chat()
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(chunks[-1].usage.completion_tokens, 24)
        self.assertEqual(chunks[-1].choices, [])

    def test_the_streaming_helper(self):
        with self.client.chat.completions.stream(model="demo", messages=STORY, max_tokens=24, temperature=0) as stream:
            events = list(stream)
        text = "".join(event.delta for event in events if event.type == "content.delta")
        self.assertEqual([event.content for event in events if event.type == "content.done"], [text])
        self.assertEqual(text, self.chat().choices[0].message.content)

    def test_seeds(self):
        texts = [self.chat(temperature=1.0, seed=seed).choices[0].message.content for seed in (1, 1, 2)]
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[2])

    def test_choices_and_stop_texts(self):
        answer = self.chat(n=3, temperature=1.0, seed=3, stop=["a", "e"])
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        for choice in answer.choices:
            self.assertNotRegex(choice.message.content, "[ae]")

    def test_log_probabilities(self):
        tokens = self.chat(logprobs=True, top_logprobs=2).choices[0].logprobs.content
        self.assertEqual(len(tokens), 24)
        for token in tokens:
            self.assertEqual(len(token.top_logprobs), 2)
            self.assertAlmostEqual(token.logprob, token.top_logprobs[0].logprob)

    def test_sampling_fields(self):
        answer = self.chat(
            temperature=0.9,
            top_p=0.9,
            presence_penalty=0.5,
            frequency_penalty=0.5,
            logit_bias={"300": -100},
            seed=1,
            user="somebody",
            metadata={"a": "b"},
            extra_body={"top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1},
        )
        self.assertEqual(answer.usage.completion_tokens, 24)

    def test_a_bias_forbids_a_token(self):
        token = self.client.completions.create(model="demo", prompt="Once", max_tokens=1, temperature=0, logprobs=1).choices[0].text
        other = self.client.completions.create(
            model="demo", prompt="Once", max_tokens=1, temperature=0, logit_bias={str(id): -100 for id in range(3, 1027)}
        )
        self.assertNotEqual(other.choices[0].text, token)

    def test_json_schema(self):
        format = {"type": "json_schema", "json_schema": {"name": "thing", "schema": THING, "strict": True}}
        for temperature in (0, 1.0):
            answer = self.chat(response_format=format, max_tokens=100, temperature=temperature, seed=2)
            jsonschema.validate(json.loads(answer.choices[0].message.content), THING)

    def test_json_object(self):
        answer = self.chat(response_format={"type": "json_object"}, max_tokens=300, temperature=1.0, seed=1, logit_bias={})
        if answer.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(answer.choices[0].message.content), dict)
        else:
            self.assertTrue(answer.choices[0].message.content.startswith("{"))

    def test_tools(self):
        answer = self.chat(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=120)
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        [call] = answer.choices[0].message.tool_calls
        self.assertEqual(call.function.name, "get_weather")
        jsonschema.validate(json.loads(call.function.arguments), WEATHER["function"]["parameters"])
        messages = [*STORY, answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Rain."}]
        self.assertEqual(self.chat(messages=messages, tools=[WEATHER], tool_choice="none").usage.completion_tokens, 24)

    def test_streamed_tools(self):
        arguments = {"model": "demo", "messages": STORY, "tools": [WEATHER], "tool_choice": "required", "max_tokens": 120}
        with self.client.chat.completions.stream(**arguments, temperature=0, parallel_tool_calls=False) as stream:
            [call] = stream.get_final_completion().choices[0].message.tool_calls
        jsonschema.validate(json.loads(call.function.arguments), WEATHER["function"]["parameters"])

    def test_completions(self):
        create = self.client.completions.create
        answer = create(model="demo", prompt=["Once upon a time", "The dog"], max_tokens=8, temperature=0, echo=True)
        self.assertTrue(answer.choices[0].text.startswith("Once upon a time"))
        self.assertTrue(answer.choices[1].text.startswith("The dog"))
        chunks = create(model="demo", prompt="Once upon a time", max_tokens=8, temperature=0, stream=True)
        text = "".join(chunk.choices[0].text for chunk in chunks)
        self.assertEqual("Once upon a time" + text, answer.choices[0].text)

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["demo"])
        self.assertEqual(self.client.models.retrieve("demo").owned_by, "tricorn")

    def test_errors(self):
        with self.assertRaises(openai.NotFoundError) as raised:
            self.chat(model="gpt-4o")
        self.assertEqual(raised.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError) as raised:
            self.chat(extra_body={"foo": 1})
        self.assertEqual(raised.exception.param, "foo")
        with self.assertRaises(openai.BadRequestError) as raised:
            self.chat(temperature=3)
        self.assertEqual(raised.exception.param, "temperature")
        with self.assertRaises(openai.BadRequestError) as raised:
            self.chat(messages=[{"role": "user", "content": "word " * 5000}])
        self.assertEqual(raised.exception.code, "context_length_exceeded")

    def test_async(self):
        import asyncio

        async def ask():
            async with openai.AsyncOpenAI(base_url=self.endpoint.url, api_key="none", max_retries=0) as client:
                request = {"model": "demo", "messages": STORY, "max_tokens": 24, "temperature": 0}
                return await asyncio.gather(*(client.chat.completions.create(**request) for _ in range(4)))

        texts = {answer.choices[0].message.content for answer in asyncio.run(ask())}
        self.assertEqual(len(texts), 1)


if __name__ == "__main__":
    unittest.main()

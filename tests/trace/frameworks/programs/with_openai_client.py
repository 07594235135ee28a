"""OpenAI's client alone: a call, a stream that is read to its end, one that is dropped."""

import page
from openai import OpenAI
from stub import serving

names = page.recorded("OpenAI")
messages = [{"role": "user", "content": "How many are left?"}]
with serving([{"content": "one is left"}]) as url:
    client = OpenAI(base_url=url, api_key="none")
    answer = client.chat.completions.create(model="gpt-4o", messages=messages)
    assert answer.choices[0].message.content == "one is left"
    for is_dropped in (False, True):
        stream = client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        for _ in stream:
            names["log"].append("between")
            if is_dropped:
                break
        stream.close()
names["log"].append("after")
names["log"].close()

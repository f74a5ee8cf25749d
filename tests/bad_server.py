"""A server that misbehaves in every way that a downloader meets, in a thread of its own."""

from __future__ import annotations

import asyncio
import io
import random
import threading

from aiohttp import web
from PIL import Image


def picture(seed, side=240, kind="JPEG"):
    """Return the bytes of a picture that no other seed gives."""
    noise = random.Random(seed).randbytes(8 * 8 * 3)
    image = Image.frombytes("RGB", (8, 8), noise).resize((side, side + 10))
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


class BadServer:
    """Listens on localhost; `requests` holds the path of each request in order."""

    def __init__(self, robots="", delay=0.0):
        self.requests = []
        self.agents = set()
        self.robots = robots
        self.delay = delay
        self._asked = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_error):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def url(self, path):
        return f"http://{self.host}/{path}"

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _start(self):
        app = web.Application()
        app.router.add_route("GET", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        raw = await asyncio.start_server(self._drip_head, "127.0.0.1", 0)
        self.raw_port = raw.sockets[0].getsockname()[1]

    async def _drip_head(self, reader, writer):
        """Answer robots.txt, then one letter of the headers at a time, for ever."""
        try:
            line = await reader.readline()
            while (await reader.readline()).strip():
                pass
            if b"robots.txt" in line:
                writer.write(b"HTTP/1.1 404 None\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return
            writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while True:
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.05)
        except OSError:
            pass
        finally:
            writer.close()

    async def _answer(self, request):
        path = request.match_info["path"]
        self.requests.append(request.path_qs)
        self.agents.add(request.headers["User-Agent"])
        self._asked[path] = self._asked.get(path, 0) + 1
        if path == "robots.txt":
            return web.Response(text=self.robots)
        await asyncio.sleep(self.delay)
        name, _, rest = path.partition("/")
        return await getattr(self, f"_{name}")(request, rest)

    async def _good(self, _request, rest):
        return web.Response(body=picture(rest), content_type="image/jpeg")

    async def _same(self, _request, rest):
        return web.Response(body=picture(rest.split("/")[0]), content_type="image/jpeg")

    async def _lying_type(self, _request, rest):
        return web.Response(body=picture(rest, kind="PNG"), content_type="text/html")

    async def _html(self, _request, _rest):
        return web.Response(text="<html>gone</html>", content_type="image/jpeg")

    async def _gone(self, _request, rest):
        return web.Response(status=int(rest))

    async def _to(self, request, rest):
        status, _, target = rest.partition("/")
        if request.query_string:
            target = request.query_string
        location = target if "://" in target else f"/{target}"
        return web.Response(status=int(status), headers={"Location": location})

    async def _loop_a(self, _request, _rest):
        return web.Response(status=302, headers={"Location": "/loop_b"})

    async def _loop_b(self, _request, _rest):
        return web.Response(status=302, headers={"Location": "/loop_a"})

    async def _chain(self, _request, rest):
        return web.Response(status=302, headers={"Location": f"/chain/{int(rest) + 1}"})

    async def _truncated(self, request, rest):
        data = picture(rest)
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        request.transport.close()
        return response

    async def _half(self, _request, rest):
        return web.Response(body=picture(rest)[:400], content_type="image/jpeg")

    async def _busy(self, _request, rest):
        if self._asked[f"busy/{rest}"] == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.Response(body=picture(rest))

    async def _come_next_week(self, _request, _rest):
        return web.Response(status=503, headers={"Retry-After": "604800"})

    async def _come_in_an_hour(self, _request, _rest):
        return web.Response(status=503, headers={"Retry-After": "3600"})

    async def _tag(self, _request, rest):
        return web.Response(body=picture("tag"), headers={"X-Robots-Tag": rest})

    async def _tiny(self, _request, rest):
        return web.Response(body=picture(rest, side=20))

    async def _large(self, _request, _rest):
        return web.Response(body=bytes(3_000_000))

    async def _endless(self, request, _rest):
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 16))

    async def _drip(self, request, rest):
        response = web.StreamResponse()
        await response.prepare(request)
        for byte in picture(rest):
            await response.write(bytes([byte]))
            await asyncio.sleep(0.05)
        return response

    async def _bomb(self, _request, _rest):
        import gzip

        packed = gzip.compress(bytes(100_000_000), 1)
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

# SPDX-License-Identifier: BSD-3-Clause
"""The client's half of vfio-user, as much of it as the tests of the tool need."""

import json
import socket
import struct

HEADER = struct.Struct("<HHIII")
VERSION, DMA_MAP, DMA_UNMAP, SET_IRQS, REGION_READ, REGION_WRITE = 1, 2, 3, 8, 9, 10
DMA_WRITE, RESET, WRITE_MULTI = 12, 13, 15
REPLY, NO_REPLY, ERROR = 1, 0x10, 0x20
BAR0, BAR2, CONFIG = 0, 2, 7


class Error(Exception):
	pass


class Function:
	"""A connection to one function's socket, past the VERSION exchange."""

	def __init__(self, path):
		self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		self.socket.settimeout(30)
		self.socket.connect(path)
		self.number = 0
		self.messages = []	# that the function sent: address, data
		text = json.dumps({"capabilities": {"max_msg_fds": 16,
						    "write_multiple": True}}).encode() + b"\0"
		self.call(VERSION, struct.pack("<HH", 0, 0) + text)

	def close(self):
		self.socket.close()

	def receive(self, count):
		data = b""
		while len(data) < count:
			more = self.socket.recv(count - len(data))
			if not more:
				raise Error("closed")
			data += more
		return data

	def pack(self, command, payload=b""):
		"""A message, whose reply() is to come when all of it was sent."""
		self.number = (self.number + 1) & 0xffff
		return HEADER.pack(self.number, command, HEADER.size + len(payload), 0, 0) + payload

	def next(self, later=0):
		"""The reply that comes next, to a message after which so many were sent; None: it was
		an interrupt message."""
		number, command, size, flags, error = HEADER.unpack(self.receive(HEADER.size))
		body = self.receive(size - HEADER.size)
		if flags & 0xf != REPLY:
			assert command == DMA_WRITE, command
			address, count, data = struct.unpack("<QQI", body)
			assert count == 4, count
			self.messages.append((address, data))
			return None
		assert number == self.number - later & 0xffff, (number, self.number, later)
		if flags & ERROR:
			raise Error("errno %d" % error)
		return body

	def reply(self, later=0):
		body = None
		while body is None:
			body = self.next(later)
		return body

	def call(self, command, payload=b"", fds=()):
		message = self.pack(command, payload)
		if fds:
			socket.send_fds(self.socket, [message], list(fds))
		else:
			self.socket.sendall(message)
		return self.reply()

	def last_words(self):
		"""Interrupt messages that were sent before the other side ended."""
		try:
			while True:
				assert self.next() is None
		except Error as e:
			assert str(e) == "closed", e

	def map(self, fd, address, size, offset=0):
		self.call(DMA_MAP, struct.pack("<IIQQQ", 32, 3, offset, address, size), [fd])

	def unmap(self, address, size):
		self.call(DMA_UNMAP, struct.pack("<IIQQ", 24, 0, address, size))

	def write(self, region, offset, data):
		self.call(REGION_WRITE, struct.pack("<QII", offset, region, len(data)) + data)

	def pack_writes(self, writes):
		"""One message for several writes of 8 bytes at most: (region, offset, bytes)."""
		return self.pack(WRITE_MULTI, struct.pack("<Q", len(writes)) +
				 b"".join(struct.pack("<QII8s", offset, region, len(data), data)
					  for region, offset, data in writes))

	def msix(self, fds):
		"""Eventfds of the vectors from 0 on."""
		self.call(SET_IRQS, struct.pack("<IIIII", 20, 0x24, 2, 0, len(fds)), fds)

	def read(self, region, offset, count):
		return self.call(REGION_READ, struct.pack("<QII", offset, region, count))[16:]

	def write32(self, region, offset, value):
		self.write(region, offset, struct.pack("<I", value))

	def write64(self, region, offset, value):
		self.write(region, offset, struct.pack("<Q", value))

	def read32(self, region, offset):
		return struct.unpack("<I", self.read(region, offset, 4))[0]

	def read64(self, region, offset):
		return struct.unpack("<Q", self.read(region, offset, 8))[0]

	def place(self, address):
		"""What a firmware does: BAR 0, then memory decode."""
		self.write32(CONFIG, 0x10, address)
		self.write(CONFIG, 4, struct.pack("<H", 2))

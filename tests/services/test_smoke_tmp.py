async def test_x(world):
    c = await world.conversation()
    a = await world.turn("hello", conversation_id=c)
    assert a.run.state == "completed"
    assert await world.said(c) == ["hello", "re: hello"]
